import sys
import urllib.request

try:
    urllib.request.urlretrieve(sys.argv[1], sys.argv[2])
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
