"""The gateway's HTTP routes and its OpenAPI document."""
