"""What the API says: the shapes of its answers, with examples for OpenAPI."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Box(BaseModel):
    """Corners in pixels of the picture that was sent; x to the right, y down."""

    x1: float = Field(examples=[412.5])
    y1: float = Field(examples=[230.1])
    x2: float = Field(examples=[466.0])
    y2: float = Field(examples=[251.8])


class Detection(BaseModel):
    """One object."""

    label: str = Field(examples=["container"])
    score: float = Field(ge=0, le=1, examples=[0.94])
    box: Box


class ImageSize(BaseModel):
    """Pixels, after the picture was turned upright."""

    width: int = Field(examples=[640])
    height: int = Field(examples=[480])


class Milliseconds(BaseModel):
    """Where the time of this request went."""

    decode: float = Field(examples=[4.1])
    inference: float = Field(examples=[21.7])
    total: float = Field(examples=[26.0])


class Answer(BaseModel):
    """Everything that was found on one picture, best score first."""

    model: str = Field(examples=["harbour-n.onnx"])
    backend: str = Field(examples=["onnxruntime"])
    image: ImageSize
    detections: list[Detection]
    milliseconds: Milliseconds


class Health(BaseModel):
    """The server is ready."""

    status: str = Field(examples=["ok"])
    model: str = Field(examples=["harbour-n.onnx"])
    backend: str = Field(examples=["onnxruntime"])


class Problem(BaseModel):
    """Why a request was refused, in one sentence."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"detail": "The file is not a picture."}]})

    detail: str
