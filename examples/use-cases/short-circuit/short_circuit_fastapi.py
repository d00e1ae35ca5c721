"""Ends nodes that somebody outside has an answer for, on FastAPI: see short_circuit.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException

switches = Path(os.environ.get("SWITCHES", "switches.json"))

app = FastAPI()


@app.post("/node.preExecute")
def look(args: dict[str, Any]) -> dict[str, Any]:
    if args["node"]["type"] != "Pod":
        return {}
    try:
        thrown = json.loads(switches.read_text()).get(args["template"]["name"])
    except FileNotFoundError:
        thrown = None
    except ValueError as error:
        raise HTTPException(503, f"{switches} is being edited: {error}", {"Retry-After": "5"}) from error
    if thrown is None:
        return {}
    return {"node": thrown} if "phase" in thrown else {"node": thrown, "requeue": "1m"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "4355")))
