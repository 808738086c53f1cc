"""Who may look into an import: its rows are people's data."""

import io

import pytest

PATHS = ("", "/rows?status=new", "/errors?format=csv", "/suggestion")


@pytest.mark.parametrize("path", PATHS)
def test_only_keys_that_could_write_the_records_see_what_is_in_the_file(session, api_with, imports, path):
    id_ = imports.upload("people", io.BytesIO("会员号,手机\nm1,13800138000\n".encode()), "a.csv")["id"]
    address = f"/api/v1/imports/{id_}{path}"
    assert api_with("imports:read", "people:write").get(address).status_code == 200
    assert api_with("imports:read", "orders:write").get(address).status_code == 403
