"""Test the conversion of a resume schema to form fields, and of a submitted form to resume data."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastra_workflows import MastraClient
from mastra_workflows.errors import InvalidResumeDataError
from mastra_workflows.hitl._forms import NO_DEFAULT, Form
from tests.core.strategies import JSON_OBJECTS, JSON_VALUES, RULES

FILLED_IN = {
    "agree": True,
    "title": "A fine headline",
    "copies": "3",
    "budget": "12.5",
    "draft": "second",
    "day": "2026-01-31",
    "moment": "2026-01-31T10:00:00+01:00",
    "tags": "red\n green \n\n",
    "address_street": "Am Kai 1",
    "address_zip": "20457",
    "summary": "",
    "contact": '{"phone": "040"}',
}
RESPONSE = {
    "agree": True,
    "title": "A fine headline",
    "copies": 3,
    "budget": 12.5,
    "draft": "second",
    "day": "2026-01-31",
    "moment": "2026-01-31T09:00:00Z",
    "tags": ["red", "green"],
    "address": {"street": "Am Kai 1", "zip": "20457"},
    "contact": {"phone": "040"},
}


def properties(required: tuple[str, ...] = (), /, **rules: Any) -> Form:
    return Form({"type": "object", "properties": rules, "required": list(required)})


@pytest.fixture
def form(client: MastraClient) -> Form:
    """The form of a request with every type, as a real server describes it."""
    details = client.get_workflow("everyType").details()
    return Form(details.steps[("fill-in",)].resume_schema)


def test_each_schema_type_has_a_field(form: Form) -> None:
    assert {field.key: field.kind for field in form.fields} == {
        "agree": "boolean",
        "urgent": "boolean",
        "title": "string",
        "summary": "text",
        "copies": "integer",
        "budget": "number",
        "discount": "number",
        "draft": "enum",
        "day": "date",
        "moment": "date-time",
        "tags": "strings",
        "address_street": "string",
        "address_zip": "string",
        "address_country": "enum",
        "contact": "json",
    }


def test_required_fields(form: Form) -> None:
    """1.x lists fields with a default as required; a form need not."""
    assert [field.key for field in form.fields if not field.required] == [
        "urgent",
        "summary",
        "copies",
        "discount",
        "moment",
        "address_country",
        "contact",
    ]
    defaults = {field.key: field.default for field in form.fields}
    assert defaults["copies"] == 2
    assert defaults["address_country"] == "DE"
    assert defaults["title"] is NO_DEFAULT


def test_constraints_checked_by_the_page(form: Form) -> None:
    schemas = {field.key: field.schema for field in form.fields}
    assert schemas["title"] == {"type": "string", "minLength": 3, "maxLength": 80}
    assert schemas["copies"] == {"type": "integer", "minimum": 1, "maximum": 10}
    assert schemas["draft"] == {"type": "string", "enum": ["first", "second", "third"]}
    assert schemas["moment"] == {"type": "string", "format": "date-time"}
    assert schemas["contact"] == {}
    titles = {field.key: (field.title, field.description) for field in form.fields}
    assert titles["address_zip"] == ("address.zip", "Five digits")


def test_a_response_of_every_type(form: Form) -> None:
    assert form.to_resume_data(FILLED_IN) == RESPONSE


def test_server_accepts_the_response(client: MastraClient, form: Form, key: str) -> None:
    run = client.get_workflow("everyType").get_run(key)
    run.start(input_data={"topic": "forms"})
    run.wait(timeout=30)
    run.resume(resume_data=form.to_resume_data(FILLED_IN))
    result = run.wait(timeout=30).raise_for_status().result
    assert {name: result[name] for name in RESPONSE if name != "address"} == {
        name: value for name, value in RESPONSE.items() if name != "address"
    }


def test_a_form_can_be_filled_in_with_a_response(form: Form) -> None:
    values = form.values(RESPONSE)
    assert values["address_zip"] == "20457"
    assert "summary" not in values
    assert form.to_resume_data(values) == RESPONSE


def test_each_invalid_place_is_named(form: Form) -> None:
    with pytest.raises(InvalidResumeDataError) as caught:
        form.to_resume_data(
            {**FILLED_IN, "title": "no", "copies": "many", "draft": "", "phone": "1"}
        )
    assert caught.value.validation_errors == (
        "phone: not a field of this form",
        "$.copies: expected integer, got string",
        "$.draft: required",
        "$.title: violates minLength 3",
    )


@pytest.mark.parametrize(
    ("rule", "entered", "read"),
    [
        ({"type": "integer"}, 3.0, 3),
        ({"type": "boolean"}, "true", True),
        ({"type": "string"}, "3", "3"),
        ({"type": ["integer", "null"]}, "3", 3),
        ({"anyOf": [{"type": "object"}, {"type": "null"}]}, '{"a": 1}', {"a": 1}),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, "5", "5"),
        ({"anyOf": [{"const": 1}, {"const": 2}]}, "2", 2),
        ({"type": ["string", "number"]}, "5", 5),
        ({"type": ["string", "number"]}, "five", "five"),
        ({"type": "number", "multipleOf": 0.01}, "19.99", 19.99),
        ({"type": "string", "pattern": r"^\p{L}+$"}, "Zoë", "Zoë"),
        ({"type": "object", "properties": {}}, '{"a": 1}', {"a": 1}),
        ({"type": "string", "enum": ["", "a"]}, "", ""),
        ({"type": "array", "items": {"type": "number"}}, "[1, 2]", [1, 2]),
        ({"type": "array", "items": {"type": "string"}}, ["a", "b"], ["a", "b"]),
        ({"type": "string", "format": "date-time"}, "2026-01-31T10:00", "2026-01-31T10:00:00Z"),
        ({"type": "string", "format": "date"}, "2026-01-31T00:00:00Z", "2026-01-31"),
        (
            {"type": "string", "format": "time", "pattern": r"^\d\d:\d\d:\d\d$"},
            "10:30",
            "10:30:00",
        ),
        (
            {"type": "string", "format": "date-time", "pattern": r"^[^Z+]*$"},
            "2026-01-31T10:00",
            "2026-01-31T10:00",
        ),
    ],
)
def test_entered_values_are_converted(rule: Any, entered: Any, read: Any) -> None:
    assert properties(("x",), x=rule).to_resume_data({"x": entered}) == {"x": read}


@pytest.mark.parametrize(
    ("form", "entered"),
    [
        ("date", "next year"),
        ("date", "2026-01-31 or later"),
        ("time", "next year"),
        ("date-time", "next year"),
    ],
)
def test_invalid_times_are_rejected(form: str, entered: str) -> None:
    """Mastra 0.x describes no more of a date than its format, and takes any text for one."""
    with pytest.raises(InvalidResumeDataError, match=rf"\$\.x: expected {form}"):
        properties(x={"type": "string", "format": form}).to_resume_data({"x": entered})


def test_time_beyond_pythons_range_is_sent_unchanged() -> None:
    form = properties(x={"type": "string", "format": "date-time"})
    moment = "9999-12-31T23:59:59-05:00"
    assert form.to_resume_data({"x": moment}) == {"x": moment}


@pytest.mark.parametrize("entered", ["NaN", "-Infinity"])
def test_text_that_is_not_a_json_number_is_rejected(entered: str) -> None:
    with pytest.raises(InvalidResumeDataError, match="expected number, got string"):
        properties(x={"type": "number"}).to_resume_data({"x": entered})


def test_empty_optional_field_is_omitted() -> None:
    text = {"type": "string"}
    form = properties(("b", "c"), a=text, b=text, c={"type": ["number", "null"]}, d=text)
    assert form.to_resume_data({"a": "", "b": "", "c": None}) == {"b": "", "c": None}


def test_empty_required_nullable_field_is_null() -> None:
    texts = properties(("a", "b"), a={"type": ["string", "null"]}, b={"type": "string"})
    assert texts.to_resume_data({"a": "", "b": ""}) == {"a": None, "b": ""}
    assert [field.key for field in texts.fields if field.may_be_empty] == ["a"]


@pytest.mark.parametrize(
    ("rule", "emptied"),
    [
        ({"type": "string", "default": "old"}, {"x": ""}),
        ({"type": "string", "default": "old", "minLength": 1}, {}),
        ({"type": "array", "items": {"type": "string"}, "default": ["old"]}, {"x": []}),
        ({"type": ["number", "null"], "default": 5}, {"x": None}),
        ({"type": "number", "default": 5}, {}),
    ],
)
def test_removed_default_of_an_optional_field_is_omitted(rule: Any, emptied: Any) -> None:
    """The server puts it in for what is left out, which is right where nobody touched the field."""
    form = properties(x=rule)
    nothings: tuple[Any, ...] = (None, "", [])
    for nothing in nothings:
        assert form.to_resume_data({"x": nothing}) == emptied
    assert form.to_resume_data({}) == {}


@pytest.mark.parametrize("rule", [{"maxLength": None}, {"required": True}, {"type": "anything"}])
def test_invalid_schema_becomes_one_field(rule: Any) -> None:
    form = properties(x={"type": "string", **rule})
    assert [(field.key, field.kind) for field in form.fields] == [("response", "json")]
    assert form.to_resume_data({"response": '{"x": "y"}'}) == {"x": "y"}


def test_patterns_that_browsers_read_differently_are_not_in_the_form() -> None:
    texts = {"type": "string", "pattern": r"^\p{L}+$", "minLength": 1}
    form = properties(
        a=texts, b={"type": "array", "items": texts}, c={"type": "number", "multipleOf": 0.01}
    )
    assert [field.schema for field in form.fields] == [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}},
        {"type": "number"},
    ]


@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": "array", "items": {}}, None])
def test_schema_that_is_not_an_object_becomes_one_field(schema: Any) -> None:
    [field] = Form(schema).fields
    assert (field.key, field.path, field.title) == ("response", (), "response")


def test_response_without_a_schema_accepts_any_json() -> None:
    assert Form(None).to_resume_data({}) == {}
    assert Form(None).to_resume_data({"response": '{"a": [1]}'}) == {"a": [1]}
    assert Form(None).to_resume_data({"response": "yes"}) == "yes"


def test_schema_without_properties_has_no_fields() -> None:
    form = properties()
    assert form.fields == ()
    assert form.to_resume_data({}) == {}
    anything = Form({"type": "object", "properties": {}, "additionalProperties": {}})
    assert anything.to_resume_data({"response": '{"a": 1}'}) == {"a": 1}


def test_unsupported_types_become_json_fields() -> None:
    inner = {"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]}
    middle = {"type": "object", "properties": {"inner": inner}, "required": ["inner"]}
    form = properties(("outer",), outer=middle, optional=inner, record={"type": "object"})
    assert {field.key: field.kind for field in form.fields} == {
        "outer_inner": "json",
        "optional": "json",
        "record": "json",
    }
    response = {"outer": {"inner": {"x": "y"}}}
    assert form.to_resume_data({"outer_inner": '{"x": "y"}', "optional": ""}) == response
    with pytest.raises(InvalidResumeDataError, match=r"\$\.outer\.inner\.x: required"):
        form.to_resume_data({"outer_inner": "{}"})


def test_references_are_followed() -> None:
    form = Form(
        {
            "type": "object",
            "properties": {
                "who": {"$ref": "#/$defs/person"},
                "tree": {"$ref": "#"},
                "loop": {"$ref": "#/properties/loop"},
                "elsewhere": {"$ref": "http://example.com/schema"},
            },
            "required": ["who"],
            "$defs": {"person": {"type": "object", "properties": {"name": {"type": "string"}}}},
        }
    )
    assert [(field.key, field.kind) for field in form.fields] == [
        ("who_name", "string"),
        ("tree", "json"),
        ("loop", "json"),
        ("elsewhere", "json"),
    ]


def test_field_keys_are_plain_and_unique() -> None:
    text = {"type": "string"}
    rules = {"_id": text, "a b": text, "a-b": text, "1st": text, "é": text, "response": text}
    form = properties(**rules)
    keys = [field.key for field in form.fields]
    assert keys == ["id", "a_b", "a_b_2", "n1st", "response", "response_2"]
    assert form.to_resume_data({"id": "x", "response": "y"}) == {"_id": "x", "é": "y"}


@given(st.none() | JSON_OBJECTS | RULES, JSON_OBJECTS)
def test_any_schema_and_response_give_a_form(schema: Any, values: Any) -> None:
    form = Form(schema)
    for field in form.fields:
        assert field.title
        assert isinstance(field.schema, dict)
    keys = [field.key for field in form.fields]
    for entered in (values, dict.fromkeys(keys, "x"), dict.fromkeys(keys), {}):
        with suppress(InvalidResumeDataError):
            form.to_resume_data(entered)


@given(JSON_VALUES)
def test_a_response_of_any_shape_can_fill_in_a_form(response: Any) -> None:
    properties(a={"type": "object", "properties": {"b": {}}}, c={}).values(response)
