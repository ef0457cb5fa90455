"""The dashboard: a built page, served to browsers. All it shows it asks the coordinator for (docs/dashboard.md)."""
