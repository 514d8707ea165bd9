"""The configuration file as frozen values, or every problem in it at once."""

from gateway.settings.load import load_settings
from gateway.settings.model import (
    ApiSettings,
    Bind,
    DeviceSettings,
    LabelsSettings,
    LimitsSettings,
    LogSettings,
    MqttSettings,
    Settings,
    SiteSettings,
    StationSettings,
    StorageSettings,
)
from gateway.settings.problem import Problem, SettingsError

__all__ = [
    "ApiSettings",
    "Bind",
    "DeviceSettings",
    "LabelsSettings",
    "LimitsSettings",
    "LogSettings",
    "MqttSettings",
    "Problem",
    "Settings",
    "SettingsError",
    "SiteSettings",
    "StationSettings",
    "StorageSettings",
    "load_settings",
]
