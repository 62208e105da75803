"""`umbel run power_flow`: does a network for power flows pay beside a fast solver?"""
