"""The messages and traits between the kernel and the front end, in one place.

`js/src/protocol.gen.ts` is made from it by `scripts/generate_protocol.py`. Nothing here sends, receives or keeps
anything. A new message is a dataclass in one of these modules and a handler that a service registers with the
`Router`.
"""

from peek_widget.live.controls import CONTROL_NAMES as CONTROL_TRAITS
from peek_widget.live.controls import KNOB_NAMES

from ._message import TO_KERNEL, TO_PAGE, ProtocolError, ToKernel, ToPage, parse
from .circuit import (
    CircuitCrop,
    CircuitCrops,
    CircuitOpen,
    CircuitPicture,
    CircuitRow,
    CircuitSeen,
    CircuitTarget,
    CircuitWithout,
    GetCircuitCrops,
    SetCircuitWithout,
)
from .examples import CropInfo, CropSet, LargeCrop, OpenCrop, RunPass, SetCropView, StartFromCrop
from .photo import PhotoClass, PhotoClose, PhotoEdit, PhotoPlace, PhotoSeen, PhotoUnit, SetPhoto
from .sheet import (
    SHEET_STATES,
    SheetAck,
    SheetDraw,
    SheetInfo,
    SheetOpen,
    SheetOrder,
    SheetSimilarity,
    SheetThumbs,
    SheetView,
)
from .stream import (
    COMPARED,
    SAVED,
    Ack,
    Compare,
    CompareAck,
    ComparedPicture,
    ComparisonSet,
    Hello,
    LoadModule,
    Module,
    Ping,
    Play,
    Pong,
    Restart,
    Resume,
    Save,
    SavedFile,
    Seek,
    StepOnce,
    Visible,
)
from .tags import Tag, TagCounts, TagKey, TagReviewed, TagSuggestions, TagUndo
from .traits import (
    DESCRIPTION_TRAITS,
    EVIDENCE_TRAITS,
    LIVE_TRAITS,
    STATES,
    TAG_TRAITS,
    TRAIT_TYPES,
    About,
    EvidenceStatus,
    Gauge,
    KnobInfo,
    LayerInfo,
    RecipeInfo,
    Status,
)

__all__ = [
    "COMPARED",
    "CONTROL_TRAITS",
    "DESCRIPTION_TRAITS",
    "EVIDENCE_TRAITS",
    "INBOUND_KINDS",
    "KNOB_NAMES",
    "LIVE_TRAITS",
    "OUTBOUND_KINDS",
    "SAVED",
    "SHEET_STATES",
    "STATES",
    "TAG_TRAITS",
    "TO_KERNEL",
    "TO_PAGE",
    "TRAIT_TYPES",
    "About",
    "Ack",
    "CircuitCrop",
    "CircuitCrops",
    "CircuitOpen",
    "CircuitPicture",
    "CircuitRow",
    "CircuitSeen",
    "CircuitTarget",
    "CircuitWithout",
    "Compare",
    "CompareAck",
    "ComparedPicture",
    "ComparisonSet",
    "CropInfo",
    "CropSet",
    "EvidenceStatus",
    "Gauge",
    "GetCircuitCrops",
    "Hello",
    "KnobInfo",
    "LargeCrop",
    "LayerInfo",
    "LoadModule",
    "Message",
    "Module",
    "OpenCrop",
    "PhotoClass",
    "PhotoClose",
    "PhotoEdit",
    "PhotoPlace",
    "PhotoSeen",
    "PhotoUnit",
    "Ping",
    "Play",
    "Pong",
    "ProtocolError",
    "RecipeInfo",
    "Restart",
    "Resume",
    "RunPass",
    "Save",
    "SavedFile",
    "Seek",
    "SetCircuitWithout",
    "SetCropView",
    "SetPhoto",
    "SheetAck",
    "SheetDraw",
    "SheetInfo",
    "SheetMessage",
    "SheetOpen",
    "SheetOrder",
    "SheetSimilarity",
    "SheetThumbs",
    "SheetView",
    "StartFromCrop",
    "Status",
    "StepOnce",
    "Tag",
    "TagCounts",
    "TagKey",
    "TagMessage",
    "TagReviewed",
    "TagSuggestions",
    "TagUndo",
    "ToKernel",
    "ToPage",
    "Visible",
    "parse",
]

INBOUND_KINDS: tuple[str, ...] = tuple(TO_KERNEL)
"""The kinds of the front end's messages."""

OUTBOUND_KINDS: tuple[str, ...] = tuple(TO_PAGE)
"""The kinds of the kernel's custom messages."""

Message = ToKernel
SheetMessage = LoadModule | SheetOpen | SheetDraw | SheetView | SheetAck | SheetSimilarity
TagMessage = Tag | TagReviewed | TagUndo | TagKey
