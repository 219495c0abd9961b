"""The chat page at `/`: static files, ES modules without a build step."""
