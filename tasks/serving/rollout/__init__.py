"""The gateway follows the store: champion, candidate of a rollout, shadow answers."""
