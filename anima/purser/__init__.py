"""What agents spend: who has to stop for it, and the book that somebody other than they keeps."""
