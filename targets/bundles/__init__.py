"""What goes to a device that is elsewhere, what runs it there, and what comes back."""
