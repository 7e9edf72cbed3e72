module sallyport.dev/sallyport/test/cluster

go 1.26.0

require (
	sallyport.dev/sallyport v0.0.0
	sigs.k8s.io/yaml v1.6.0
)

require (
	go.yaml.in/yaml/v2 v2.4.4 // indirect
	golang.org/x/tools v0.52.0 // indirect
)

replace sallyport.dev/sallyport => ../..
