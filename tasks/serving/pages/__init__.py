"""The gateway's HTML pages: dashboard, review, release notes, drift reports."""
