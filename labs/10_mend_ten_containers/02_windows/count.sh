#!/bin/sh
echo "ships: $(grep -c ship boxes.txt)"
