"""What the command line shows of rows that were checked, cleaned, divided or judged. Decides nothing."""
