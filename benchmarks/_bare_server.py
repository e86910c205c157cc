"""The same HTTP application over the same bundle in one bare uvicorn process: what Serve is compared with.

python benchmarks/_bare_server.py STORE VERSION PORT
"""

from __future__ import annotations

import sys

import uvicorn

from aimat_ray.problem import load_problem
from aimat_ray.registry.runtime import spare_collector
from aimat_ray.registry.store import SurrogateStore
from aimat_ray.serving.app import make_app
from aimat_ray.serving.backend import LocalBackend
from aimat_ray.serving.context import AppContext

if __name__ == "__main__":
    root, version, port = sys.argv[1:]
    app = make_app(AppContext(load_problem(), LocalBackend(SurrogateStore(root).get(version))))
    spare_collector()
    uvicorn.run(app, host="127.0.0.1", port=int(port), http="httptools", log_level="error", access_log=False)
