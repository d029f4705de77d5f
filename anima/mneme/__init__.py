"""What an agent remembers: kept, found, summarised, brought to mind."""
