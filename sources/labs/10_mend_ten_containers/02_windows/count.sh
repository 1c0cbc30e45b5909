# --- solution
#!/bin/sh
echo "ships: $(grep -c ship boxes.txt)"
# --- starter
# #!/bin/sh
# echo "ships: $(grep -c ship boxes.txt)"
# --- end
