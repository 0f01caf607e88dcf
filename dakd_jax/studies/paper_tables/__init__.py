"""The paper's tables in one command: their rows as data, one job for each stage, engines that run jobs, results."""
