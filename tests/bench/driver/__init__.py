"""What scripts/bench is made of: programs, measurements, the table of issue 2, the report."""
