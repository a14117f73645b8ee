"""The Django application `inference`."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    """Registers the catalogue and its system checks."""

    name = "inference"
    label = "inference"
    verbose_name = "Inference"

    def ready(self) -> None:
        """Load the system checks, which register themselves."""
        from inference import checks  # imported here: the registry of models is complete only now

        checks.register()
