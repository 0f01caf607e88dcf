"""What the doctor measures of the files of a data set."""
