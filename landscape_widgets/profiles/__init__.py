"""Values along lines and over planes."""
