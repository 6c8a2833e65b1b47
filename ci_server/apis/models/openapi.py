"""What FastAPI cannot find out of the model-job API's contract by itself."""

from typing import Any

SUBMISSION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["package"],
                    "properties": {
                        "package": {
                            "type": "string",
                            "format": "binary",
                            "description": "a zip of the model, whose name ends in .zip",
                        },
                        "model_name": {"type": "string", "maxLength": 200},
                        "priority": {
                            "type": "integer",
                            "minimum": 0,
                            "maximum": 10,
                            "default": 0,
                        },
                    },
                }
            }
        },
    }
}
