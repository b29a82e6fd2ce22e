"""What the emulated model says. A responder gets a request and gives a reply; none of them is random."""

from cachepoint.emulator.responders.finish import finish
from cachepoint.emulator.responders.reply import EmulatedError, Reply, Responder
from cachepoint.emulator.responders.request import ParsedRequest
from cachepoint.emulator.responders.script import ReplayResponder, Script, ScriptedResponder, Step
from cachepoint.emulator.responders.text import TextResponder
from cachepoint.emulator.responders.tools import AutoResponder, ToolResponder

__all__ = [
    "AutoResponder",
    "EmulatedError",
    "ParsedRequest",
    "ReplayResponder",
    "Reply",
    "Responder",
    "Script",
    "ScriptedResponder",
    "Step",
    "TextResponder",
    "ToolResponder",
    "finish",
]
