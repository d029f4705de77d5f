"""The list of commands in `animactl --help`, sorted by what a person wants to do."""

from typing import Any

from typer.core import TyperGroup

GROUPS = {
    "Talk": ("ask", "send", "chat", "clear", "system", "viewport", "pin"),
    "Hands": ("tools", "tool", "approvals", "approve", "deny", "answer", "intents", "jobs"),
    "Agents": (
        "create",
        "list",
        "start",
        "stop",
        "restart",
        "pause",
        "resume",
        "reset",
        "budget",
        "freeze",
        "thaw",
        "export",
        "import",
    ),
    "Mind": ("memory", "thymos", "psyche"),
    "House": ("up", "down", "status", "top", "reload", "config", "secrets", "models", "doctor"),
    "Keep": ("install", "uninstall", "upgrade", "backup", "restore"),
    "What happened": ("events", "logs", "audit", "replay"),
}


class Grouped(TyperGroup):
    """A group that shows its commands under headings; one that stands under none comes last."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the headings with their commands."""
        names = self.list_commands(ctx)
        limit = formatter.width - 6 - max(map(len, names))  # as click leaves room for its columns
        placed = {name for group in GROUPS.values() for name in group}
        for title, group in {**GROUPS, "Others": tuple(name for name in names if name not in placed)}.items():
            found = [(name, self.get_command(ctx, name)) for name in group if name in names]
            rows = [(name, command.get_short_help_str(limit)) for name, command in found if command and not command.hidden]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
