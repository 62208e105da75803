"""Networks that the tests share: opening one takes a second. Tests that change one get a copy."""

import copy

import pytest


@pytest.fixture(scope="session")
def opened():
    """Networks by name, as they are opened; nobody may change them."""
    for package in ("pandapower", "lightsim2grid", "simbench"):
        if not pytest.importorskip("importlib.util").find_spec(package):
            pytest.skip("the extra `grid` is not installed")
    from umbel.grids import open_network

    nets = {}

    def get(name):
        if name not in nets:
            nets[name] = open_network(name)
        return nets[name]

    return get


@pytest.fixture
def case(opened):
    """A copy of a network by name, to be changed at will."""
    return lambda name: copy.deepcopy(opened(name))


@pytest.fixture(scope="session")
def grids(opened):
    """The grid of a network by name, made once."""
    from umbel.grids import grid_of

    made = {}

    def get(name):
        if name not in made:
            made[name] = grid_of(opened(name))
        return made[name]

    return get


@pytest.fixture(scope="session")
def _small(opened):
    """A small medium-voltage ring with everything that networks of distribution have; bus indices have gaps."""
    from umbel.grids.extra import from_extra, quiet

    with quiet():
        pp = from_extra("pandapower", "tests")
        net = pp.create_empty_network(name="small ring", sn_mva=10.0)
        pp.create_bus(net, 110.0, index=40, name="station")
        for index in (3, 7, 8, 12, 20, 21):
            pp.create_bus(net, 20.0, index=index, name="twice" if index > 12 else f"mv {index}")
        pp.create_bus(net, 20.0, index=30, in_service=False)
        pp.create_ext_grid(net, 40, vm_pu=1.02, va_degree=30.0)
        pp.create_transformer(net, 40, 3, "25 MVA 110/20 kV", tap_pos=2, parallel=2)
        for start, end, index in ((3, 7, 0), (8, 12, 5), (12, 20, 6), (20, 21, 7), (21, 3, 9), (7, 21, 11)):
            pp.create_line(net, start, end, 3.0, "NA2XS2Y 1x240 RM/25 12/20 kV", index=index, parallel=1 + index % 2)
        pp.create_line(net, 20, 30, 1.0, "NA2XS2Y 1x240 RM/25 12/20 kV", index=12, in_service=False)
        pp.create_impedance(net, 3, 12, rft_pu=0.02, xft_pu=0.1, sn_mva=10.0)
        pp.create_switch(net, 7, 8, et="b", closed=True)  # 7 and 8 are one
        pp.create_switch(net, 20, 7, et="l", closed=False)  # the line 7 hangs on bus 21 alone
        for bus, p, q in ((7, 2.0, 0.5), (8, 1.0, 0.2), (8, 0.5, 0.1), (12, 3.0, 1.0), (21, 1.5, -0.3)):
            pp.create_load(net, bus, p, q, scaling=0.9)
        pp.create_load(net, 12, 99.0, 0.0, in_service=False)
        pp.create_sgen(net, 12, 1.0, 0.1)
        pp.create_sgen(net, 12, 0.5, 0.0)
        pp.create_gen(net, 20, 1.5, vm_pu=1.01)
        pp.create_shunt(net, 21, q_mvar=-0.4, p_mw=0.01)
        pp.create_storage(net, 7, 0.2, 1.0)
        pp.create_ward(net, 12, 0.1, 0.05, 0.02, 0.03)
    return net


@pytest.fixture
def small(_small):
    """A copy of the small ring, to be changed at will."""
    return copy.deepcopy(_small)
