"""FastAPI: `pip install fastapi uvicorn`, then `python examples/stacks/fastapi/plugin.py`."""

from typing import Any

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.post("/node.preExecute")
async def pre_execute(args: dict[str, Any]) -> dict[str, Any]:
    return {"node": {"message": f"seen {args['node']['displayName']}"}}


@app.post("/parameters.add")
async def add_parameters(args: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": {"hello": "good morning"}}


if __name__ == "__main__":
    uvicorn.run(app, port=4355, access_log=False)
