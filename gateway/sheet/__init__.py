"""Labels that a site prints for itself."""
