"""What Django knows of the models of this app, release by release."""
