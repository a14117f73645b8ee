"""A FastAPI application behind the official payment middleware: `python official_server.py PORT`."""

import os
import sys

import uvicorn
from fastapi import FastAPI, Request

from x402 import x402ResourceServer
from x402.http import FacilitatorConfig, HTTPFacilitatorClient
from x402.http.middleware.fastapi import payment_middleware
from x402.mechanisms.evm.exact import register_exact_evm_server

app = FastAPI()
server = x402ResourceServer(HTTPFacilitatorClient(FacilitatorConfig(url=os.environ["FACILITATOR_URL"])))
register_exact_evm_server(server)
offer = {"scheme": "exact", "payTo": os.environ["PAY_TO"], "price": "$0.001", "network": os.environ["NETWORK"]}
gate = payment_middleware({"POST /api/v1/x402/invoke": {"accepts": offer}}, server)


@app.middleware("http")
async def paid(request: Request, call_next):
    return await gate(request, call_next)


@app.post("/api/v1/x402/invoke")
async def invoke(request: Request) -> dict:
    body = await request.json()
    return {"answer": f"You wrote: {body['prompt']}"}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
