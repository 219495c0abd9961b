"""Floor 3: data as batches: text for pretraining, labelled files as samples, samples as rows."""
