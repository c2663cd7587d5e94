"""What the commands on data have in common: a recipe or a file to rows that were read, cleaned and labelled."""
