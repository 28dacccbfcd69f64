"""QuestDB as a source and a sink of ticks: `QuestDB` describes a server, and its methods load, read and ask."""

from cift.data.questdb.source import QuestDB

__all__ = ["QuestDB"]
