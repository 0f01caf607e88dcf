"""From a config to stages: settings, identity, the plan and running it, what lies in a run's folder."""
