"""What is learnt from finished networks; each study with its page and template beside it."""
