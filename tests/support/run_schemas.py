"""The published shapes of the runs API's answers, as JSON Schemas written from the contract."""

import jsonschema_rs

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
FLAG = {"type": "boolean"}
TEXTS = {"type": "array", "items": TEXT, "uniqueItems": True}


def _object(**properties):
    """Exactly these, all of them."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list_of(schema):
    return {"type": "array", "items": schema}


PERTURBATIONS = _list_of(
    _object(
        perturbation_name=TEXT,
        perturbation_type=TEXT,
        datasets_present=TEXTS,
        total_cells=COUNT,
        cell_types_present=TEXTS,
    )
)
CELL_TYPES = _list_of(
    _object(
        cell_type_cl_id=TEXT,
        cell_type_name=TEXT,
        datasets_present=TEXTS,
        total_cells=COUNT,
        perturbations_present=TEXTS,
    )
)
DATASETS = TEXTS
ASSESSMENT = _object(
    synthetic_control_available=FLAG,
    control_cells_found=COUNT,
    control_donors=TEXTS,
    control_conditions=TEXTS,
    recommendation={"type": "string", "minLength": 1},
    warning={"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
)
ERROR = _object(detail=TEXT, error=_object(code=TEXT, message=TEXT, request_id=TEXT))


def checked(answer, schema, status=200):
    """The JSON of an answer that has this status and shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    jsonschema_rs.validate(schema, content)
    return content


def refused(answer, status, code):
    """The message of an error."""
    error = checked(answer, ERROR, status)
    assert error["error"]["code"] == code
    assert error["detail"] == error["error"]["message"]
    return error["detail"]
