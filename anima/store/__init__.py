"""SQLite: pragmas, migrations, one owner per file."""
