"""From networks and pictures to scores: metrics, predictions, protocols, what is kept of them, logs."""
