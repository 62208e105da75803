import pytest
from serving_cases import digits_run, flats_run, service_of

from umbel.serving import application


@pytest.fixture(scope="session")
def flats_folder(tmp_path_factory):
    return flats_run(tmp_path_factory.mktemp("flats"))


@pytest.fixture(scope="session")
def flats_service(flats_folder):
    return service_of(flats_folder)


@pytest.fixture(scope="session")
def flats_app(flats_service):
    return application(flats_service)


@pytest.fixture(scope="session")
def digits_service(tmp_path_factory):
    return service_of(digits_run(tmp_path_factory.mktemp("digits")))


@pytest.fixture(scope="session")
def digits_app(digits_service):
    return application(digits_service)
