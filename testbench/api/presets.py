"""Presets over REST."""

from fastapi import APIRouter, Query, Response

from testbench.adapters import db
from testbench.api.doors import Caller, Door, allow
from testbench.services import presets
from testbench.services.lists import Page
from testbench.services.presets import PresetBody, PresetPatch, PresetView

router = APIRouter(prefix="/api/presets", tags=["presets"], route_class=Door)


@router.get("")
@allow("viewer")
def list_presets(
    actor: Caller, limit: int = Query(100, ge=1, le=500), cursor: str | None = None
) -> Page[PresetView]:
    """Presets, their secrets left out."""
    return db.run(lambda tx: presets.list_(tx, actor, limit=limit, cursor=cursor))


@router.post("", status_code=201)
@allow("engineer")
def create_preset(actor: Caller, body: PresetBody) -> PresetView:
    """Settings under a name. Secrets are written and never shown: `secrets` says which are set."""
    return db.run(lambda tx: presets.create(tx, actor, body))


@router.get("/{preset_id}")
@allow("viewer")
def get_preset(actor: Caller, preset_id: str) -> PresetView:
    """One preset, its secrets left out."""
    return db.run(lambda tx: presets.get(tx, actor, preset_id))


@router.put("/{preset_id}")
@allow("engineer")
def replace_preset(actor: Caller, preset_id: str, body: PresetBody) -> PresetView:
    """All of it anew. A secret that is left out stays; null or "" removes it.

    A pool in `pools` keeps the secrets of the stored one with the same `url`.
    """
    return db.run(lambda tx: presets.replace(tx, actor, preset_id, body))


@router.patch("/{preset_id}")
@allow("engineer")
def change_preset(actor: Caller, preset_id: str, body: PresetPatch) -> PresetView:
    """Settings that are not named stay; null removes one, and "" removes a secret."""
    return db.run(lambda tx: presets.change(tx, actor, preset_id, body))


@router.delete("/{preset_id}", status_code=204)
@allow("engineer")
def delete_preset(actor: Caller, preset_id: str) -> Response:
    """409 while a test case applies it."""
    db.run(lambda tx: presets.remove(tx, actor, preset_id))
    return Response(status_code=204)
