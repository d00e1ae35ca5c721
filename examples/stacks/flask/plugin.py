"""Flask: `pip install flask`, then `python examples/stacks/flask/plugin.py`."""

from typing import Any

from flask import Flask, request

app = Flask(__name__)


@app.post("/node.preExecute")
def pre_execute() -> dict[str, Any]:
    args = request.get_json()
    return {"node": {"message": f"seen {args['node']['displayName']}"}}


@app.post("/parameters.add")
def add_parameters() -> dict[str, Any]:
    return {"parameters": {"hello": "good morning"}}


if __name__ == "__main__":
    app.run(port=4355)
