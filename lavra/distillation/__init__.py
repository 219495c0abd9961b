"""Floor 7: students that learn from a teacher."""
