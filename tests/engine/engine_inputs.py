"""How the tests of what is read ask for mistakes."""

import pytest

from engine.errors import ModelError
from engine.model.policies import load_policies

ROW = "1,40,M,100000,250.50,20,Term,Standard"


def messages(work, *arguments, **named):
    with pytest.raises(ModelError) as caught:
        work(*arguments, **named)
    return str(caught.value).splitlines()


def policies_of(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return load_policies([(path, "policies.csv")])
