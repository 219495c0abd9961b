"""Floor 7: many requests at once over one model: scheduler, paged key-value cache, runners, streams."""
