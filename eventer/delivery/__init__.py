"""From the journal to the sinks: batches, retry, outcomes. Knows nothing of alerts."""
