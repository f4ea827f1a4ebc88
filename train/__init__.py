"""From photos with image-level labels to a trained localizer (the DiPS method)."""
