"""Expected documents, what is compared with them, and the exceptions that come of it."""
