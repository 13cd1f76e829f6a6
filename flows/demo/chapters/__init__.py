"""The demo's chapters, a file each, in the order in which flows/demo/story.py tells them."""
