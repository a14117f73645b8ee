"""The tests' settings with the shop beside the site's own addresses, for web servers in processes of their own."""

from loa_site.settings import test as of_the_tests

globals().update({name: value for name, value in vars(of_the_tests).items() if name.isupper()})

ROOT_URLCONF = "tests.attacks.shop_urls"
