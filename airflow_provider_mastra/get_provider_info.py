"""The provider's metadata for Airflow.

Airflow calls `get_provider_info` at import and cannot start if it fails, so this module imports
nothing else from the provider.
"""

from __future__ import annotations

from typing import Any

__all__ = ["get_provider_info"]

NAME = "Mastra"
PACKAGE = "airflow_provider_mastra"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's modules, connection form and options, in Airflow's schema."""
    return {
        # The name of the distribution: Airflow does not start if the two differ.
        "package-name": "mastra-workflows",
        "name": NAME,
        "description": "`Mastra <https://mastra.ai>`__ workflows as tasks of Airflow",
        "integrations": [
            {
                "integration-name": NAME,
                "external-doc-url": "https://mastra.ai/docs/workflows/overview",
                "tags": ["ai"],
            }
        ],
        "hooks": [{"integration-name": NAME, "python-modules": [f"{PACKAGE}.hooks.mastra"]}],
        "operators": [
            {
                "integration-name": NAME,
                "python-modules": [
                    f"{PACKAGE}.operators.hitl",
                    f"{PACKAGE}.operators.inbox",
                    f"{PACKAGE}.operators.workflow",
                ],
            }
        ],
        "sensors": [{"integration-name": NAME, "python-modules": [f"{PACKAGE}.sensors.workflow"]}],
        "triggers": [
            {
                "integration-name": NAME,
                "python-modules": [
                    f"{PACKAGE}.triggers.hitl",
                    f"{PACKAGE}.triggers.suspension",
                    f"{PACKAGE}.triggers.workflow",
                ],
            }
        ],
        "task-decorators": [
            {"name": "mastra", "class-name": f"{PACKAGE}.decorators.mastra.mastra_task"}
        ],
        "extra-links": [f"{PACKAGE}.links.mastra.MastraRunLink"],
        "connection-types": [CONNECTION_TYPE],
        "config": {"mastra": CONFIGURATION},
    }


CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "mastra",
    "hook-class-name": f"{PACKAGE}.hooks.mastra.MastraHook",
    "hook-name": NAME,
    "ui-field-behaviour": {
        "hidden-fields": [],
        "relabeling": {
            "host": "Host or URL",
            "schema": "Scheme",
            "login": "User (basic auth)",
            "password": "Token, or the user's password",
        },
        "placeholders": {
            "host": "https://mastra.example.com:4111",
            "schema": "http",
            "port": "4111",
        },
    },
    "conn-fields": {
        "secret_headers": {
            "label": "Secret headers",
            "description": "Headers of every request, as a JSON object of strings; never shown.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "headers": {
            "label": "Headers",
            "description": "Headers of every request, as a JSON object of strings.",
            "schema": {"type": ["string", "null"]},
        },
        "api_prefix": {
            "label": "API prefix",
            "description": "The path of the server's API; /api by default.",
            "schema": {"type": ["string", "null"]},
        },
        "verify": {
            "label": "Verify TLS certificates",
            "description": "true, false, or the path of a CA bundle on the workers.",
            "schema": {"type": ["string", "null"]},
        },
        "client_cert": {
            "label": "Client certificate",
            "description": "Path of a client certificate (PEM) on the workers.",
            "schema": {"type": ["string", "null"]},
        },
        "client_key": {
            "label": "Client key",
            "description": "Path of the certificate's key; empty if it is in the same file.",
            "schema": {"type": ["string", "null"]},
        },
        "timeout": {
            "label": "Timeout",
            "description": "Seconds to wait for the response to begin; 30 by default.",
            "schema": {"type": ["integer", "null"]},
        },
        "connect_timeout": {
            "label": "Connection timeout",
            "description": "Seconds to wait for a connection; 10 by default.",
            "schema": {"type": ["integer", "null"]},
        },
        "studio_url": {
            "label": "Studio URL",
            "description": "Where Mastra Studio is served, for links to runs.",
            "schema": {"type": ["string", "null"]},
        },
    },
}

CONFIGURATION: dict[str, Any] = {
    "description": "Mastra workflows as tasks.",
    "options": {
        "deployment": {
            "description": (
                "A name for this Airflow deployment, which becomes part of the ids of the Mastra "
                "runs that its tasks start. Used before Airflow 3.3 only, where it must differ "
                "between deployments that share a Mastra server and be the same on every worker. "
                "If it is empty, the Airflow Variable mastra_deployment_id is used, which the "
                "first task creates.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "production",
            "default": "",
        }
    },
}
